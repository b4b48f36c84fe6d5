# a script of TRL
accelerate launch --num_processes 4 --config_file zero2.yaml trl/scripts/dpo.py \
    --model_name_or_path=Qwen/Qwen2-0.5B-Instruct \
    --dataset_name=rows.jsonl \
    --loss_type sigmoid --beta 0.05 --max_length 1024 --max_prompt_length 512 \
    --report_to wandb --output_dir=dpo
