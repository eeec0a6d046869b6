"""What is promised about interruptions and determinism, measured."""
