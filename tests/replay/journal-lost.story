[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 88.2% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-255c7f70d84600000000000000000000000000000000000000000 5%, docker-e9ee239e27b100000000000000000000000000000000000000000 5%, docker-b0b872c3a6e400000000000000000000000000000000000000000 5%
[   1.350] cpu wait of postgresql.service 88.2% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 20 cgroups under /system.slice; next: docker-e9ee239e27b100000000000000000000000000000000000000000 5%, docker-b0b872c3a6e400000000000000000000000000000000000000000 5%; for at most 30min
[   5.000] undo journal lost: everything released, nothing squeezed without it
[   5.350] cpu wait of postgresql.service 88.15% > 65.62% for 400ms (everything-else) -> would set quota, together 25% of the machine on 20 cgroups under /system.slice; next: docker-e9ee239e27b100000000000000000000000000000000000000000 5%, docker-b0b872c3a6e400000000000000000000000000000000000000000 5%; for at most 30min
[  21.150] incident over after 19.8s: nobody is harmed, nothing is squeezed
258 events over 21.9 s: the same 69 actions
