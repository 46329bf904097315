"""The libraries that are compared: `run_<library>.py` is a program for the Python of that library's environment."""
