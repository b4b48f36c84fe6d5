"""An embedding model and a reranker on real weights, beside sentence-transformers."""
