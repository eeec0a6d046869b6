"""What is installed and what would fail; imports nothing that could itself be broken."""
