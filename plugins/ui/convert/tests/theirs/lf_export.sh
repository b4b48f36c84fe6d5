llamafactory-cli export lf_merge.yaml
