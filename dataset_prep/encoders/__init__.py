"""Encoders that make feature rows from words, texts, pictures and sound."""
