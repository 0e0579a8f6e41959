"""The sub-commands, a file each, with the options and words that they share."""
