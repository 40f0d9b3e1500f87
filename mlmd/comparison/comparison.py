"""How far a surrogate potential can be trusted against its reference: one call, one result.

What :meth:`Comparison.to_dict` gives, and ``mlmd compare --json`` prints. Keys are always there;
null (None) where not computed, and ``missing`` says why. A *system* is one composition at one
temperature, and its *label* is ``"Na100 856 K"``; numbers at the top of a section are those of
the only system, or the **median** over the systems. Intervals are of 68 %, as [low, high]::

    {"schema": 1,
     "systems": [{"label", "composition", "temperature_K",
                  "surrogate": {"source", "n_frames", "n_atoms", "duration_ps", "interval_fs"},
                  "reference": {the same}}],
     "rdf": {"r2_pooled", "r2_by_pair": {"Na-Na": x}, "r2_noise_ceiling", "excess",
             "distribution": {"n", "median", "fraction_above": {"0.85", "0.9", "0.95"}},
             "settings": {"convention", "r_max_A", "bin_A", "ceiling_from"},
             "systems": [{"label", "composition", "temperature_K", "r2_pooled", "r2_by_pair": {},
                          "r2_noise_ceiling", "excess", "ceiling_from"}],
             "curves": {label: {"r_A": [], "surrogate": {pair: []}, "reference": {pair: []},
                                "surrogate_stderr": {pair: [] or null},
                                "reference_stderr": {pair: [] or null}}}},
     "diffusivity": {"n_points", "n_bounds", "log10_mae", "r2", "fraction_within_factor_2",
                     "spearman", "slope", "slope_stderr", "clip_D_cm2_s",
                     "by_temperature": {"856": {"n_points", "n_bounds", "log10_mae",
                                                "log10_bias", "fraction_within_factor_2"}},
                     "points": [{"label", "composition", "temperature_K", "species",
                                 "surrogate": {"D_cm2_s", "D_raw_cm2_s", "D_interval68_cm2_s",
                                               "D_upper_bound_cm2_s", "is_diffusive", "reason"},
                                 "reference": {the same},
                                 "log10_ratio", "log10_ratio_interval68", "settings": {}}],
                     "activation_energy": [{"composition", "species", "surrogate_eV",
                                            "surrogate_interval68_eV", "reference_eV",
                                            "reference_interval68_eV", "difference_eV",
                                            "difference_stderr_eV"}]},
     "points": {"n_frames", "n_atoms", "energy_mae_meV_atom", "energy_rmse_meV_atom",
                "energy_offset_eV": {element or "per_atom": x},
                "force_mae_meV_A", "force_rmse_meV_A", "force_cosine", "force_slope",
                "force_slope_stderr", "stress_mae_GPa", "pressure_bias_GPa",
                "pressure_bias_stderr_GPa",
                "by_element": {"Li": {"force_mae_meV_A", "force_rmse_meV_A", "force_cosine",
                                      "force_slope", "n_atoms"}}},
     "spectra": {"vdos_overlap", "vdos_ceiling", "sq_r2",
                 "systems": [{"label", "composition", "temperature_K", "vdos_overlap",
                              "vdos_overlap_by_species": {}, "vdos_ceiling", "vdos_mean_ratio",
                              "sq_r2"}]},
     "coordination": {"largest_difference",
                      "systems": [{"label", "composition", "temperature_K",
                                   "pairs": {"Na-Na": {"cutoff_A", "surrogate", "reference",
                                                       "difference", "difference_stderr"}}}]},
     "verdict": {PROPERTY: {"answer": "yes" | "no" | "inconclusive", "reason", "value",
                            "threshold": {name: x},
                            "by_temperature": {"856": {"answer", "reason", "value"}}}},
     "missing": {what: why},
     "warnings": [text]}

PROPERTY is ``rdf``, ``coordination``, ``structure_factor``, ``vdos``, ``diffusivity``,
``activation_energy``, ``energies``, ``forces``, ``softening`` or ``pressure``; only those that
were computed are there. A temperature that is not known has the key ``"unknown"``.
``log10_ratio`` is that of surrogate over reference. It is null where the motion of either is
not diffusive; its bounds are then in the two sides.
"""
