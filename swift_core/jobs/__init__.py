"""Jobs: pieces of work as lists of hook calls. No other package imports these scripts; `steps` is for plugins too."""
