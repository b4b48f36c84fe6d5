"""What every job needs, whatever the model: this package has no code, only dependencies.

A model plugin depends on it, so that `pip install swift-core swift-plugin-NAME` gives a working
`swift sft`, `infer` and `export`. It brings the component behind every default of every job's options.
"""
