"""What is trained on and evaluated on: training pairs, benchmarks, one loader a source, a catalogue, and the audit."""
