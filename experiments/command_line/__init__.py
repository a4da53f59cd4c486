"""Options, parts and series shared by the experiments' command lines."""
