CUDA_VISIBLE_DEVICES=0,1 trl grpo --config trl_grpo.yaml --num_generations 16
