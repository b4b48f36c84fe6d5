# ms-swift 2
NPROC_PER_NODE=2 CUDA_VISIBLE_DEVICES=0,1 swift sft \
    --model_type qwen2-7b-instruct \
    --sft_type lora \
    --dtype AUTO \
    --custom_train_dataset_path rows.jsonl \
    --dataset_test_ratio 0.01 \
    --train_dataset_sample -1 \
    --check_dataset_strategy warning \
    --lora_rank 8 --lora_alpha 32 \
    --lora_target_modules ALL \
    --gradient_checkpointing true \
    --batch_size 1 \
    --weight_decay 0.1 \
    --learning_rate 1e-4 \
    --use_flash_attn true \
    --quantization_bit 4 \
    --deepspeed default-zero2 \
    --output_dir output
