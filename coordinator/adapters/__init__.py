"""Other libraries' samplers behind our seam, each a file: `suggest(option, space, observations, pending, count,
seed)`.

Rule: this package is loaded only in the process that `coordinator.samplers.adapter_process` starts (an import contract
holds it), because what these libraries bring does not belong into the coordinator: torch, hundreds of megabytes,
global random state, warnings, crashes. `option` is what stands behind the colon of the sampler's name.
"""
