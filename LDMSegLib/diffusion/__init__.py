"""The noise schedule, the samplers and the ensemble loop: from noise to decoded members, whatever the networks are."""
