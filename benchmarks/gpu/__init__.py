"""What ``benchmarks.gpu_check`` runs on a GPU: comparisons with the CPU, ceilings, throughput."""
