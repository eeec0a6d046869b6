"""Modules by which RecBole's ``get_model`` finds the plugin's models (see ``registry.py``)."""
