"""What a run tells: stages, tables, figures."""
