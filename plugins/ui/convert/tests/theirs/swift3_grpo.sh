MAX_PIXELS=602112 \
swift rlhf --rlhf_type grpo \
    --model Qwen/Qwen2.5-3B-Instruct \
    --external_plugins examples/plugin.py \
    --reward_funcs accuracy format \
    --train_type full --torch_dtype bfloat16 --attn_impl flash_attn \
    --dataset rows.jsonl#100 --load_from_cache_file true \
    --num_generations 8 --temperature 0.9 --beta 0.001 \
    --use_vllm true --vllm_mode colocate --sleep_level 1 \
    --offload_optimizer true --async_generate false \
    --log_completions true
