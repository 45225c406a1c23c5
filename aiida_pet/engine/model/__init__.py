"""Models: plain PET, whatever metatomic exports, and what they need of memory."""
