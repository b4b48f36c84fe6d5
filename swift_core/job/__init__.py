"""A job: options, the components that they select, and the plugin manager that calls them."""
