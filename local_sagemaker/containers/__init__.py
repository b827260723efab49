"""Programs that do what the insides of AWS images do. They import nothing of ours."""
