"""How the model that ships is made: which frames, and by what options. docs/model.md tells it in words."""
