#!/bin/bash
# eight GPUs
FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=0 MASTER_ADDR=192.168.0.1 MASTER_PORT=29500 \
  llamafactory-cli train lf_full.yaml learning_rate=1e-5
