"""The trainer mixin, stages and their pipeline, checkpoints, checks for non-finite numbers."""
