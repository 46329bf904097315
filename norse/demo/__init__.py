"""The main job from end to end, also to be read as a tutorial: start at `story.py`, then `training.py`."""
