"""Score videos with a run, and show the score as a row, a plot or a page."""
