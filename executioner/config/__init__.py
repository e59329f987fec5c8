"""Configs: what the JSON file may say, and what it says. ``parse`` reads one, ``keys`` declares them."""
