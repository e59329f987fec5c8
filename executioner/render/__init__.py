"""Screens: functions of data, width, palette and the current time to text."""
