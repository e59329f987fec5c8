"""Executioner: runs a JSON file of shell jobs, remembers every run, resumes what is missing."""

__version__ = "0.1.0"
