"""What goes with models: states as pytrees, plots, tensorboard hooks, NIR files."""
