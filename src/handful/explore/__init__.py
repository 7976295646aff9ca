"""What a trained generator has learned: pictures beside their neighbours, mixed, and photos turned into latents."""
