"""Prepare dataset folders for RecBole-PaInvRL: one module per source of data."""
