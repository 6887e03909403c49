"""What is in a labelled folder: what is wrong with it, how much of what it holds, and how it looks."""
