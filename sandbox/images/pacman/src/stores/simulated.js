// The players that upstream's load generator makes up: sim1, sim2 and so on.

export const SIMULATED = /^sim\d+$/i;
