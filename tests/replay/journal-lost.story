[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 92.36% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-255c7f70d84600000000000000000000000000000000000000000 3%, docker-e9ee239e27b100000000000000000000000000000000000000000 3%, docker-b0b872c3a6e400000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 92.36% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-e9ee239e27b100000000000000000000000000000000000000000 3%, docker-b0b872c3a6e400000000000000000000000000000000000000000 3%; for at most 30min
[   5.000] undo journal lost: everything released, nothing squeezed without it
[   5.350] cpu wait of postgresql.service 91.34% > 65.62% for 400ms (everything-else) -> would set quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-e9ee239e27b100000000000000000000000000000000000000000 3%, docker-b0b872c3a6e400000000000000000000000000000000000000000 3%; for at most 30min
[  21.150] incident over after 19.8s: nobody is harmed, nothing is squeezed
296 events over 21.9 s: the same 89 actions
