"""Forms made from options: typed fields, and what is filled in as command, YAML, shell script and back."""
