"""What a study shows: why a trial was run, which parameters mattered, pictures. It writes nothing."""
