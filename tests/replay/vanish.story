[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 92.43% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-58fa7bde937e00000000000000000000000000000000000000000 3%, docker-96c4a808c2ae00000000000000000000000000000000000000000 3%, docker-5ce105a0628800000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 92.43% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-96c4a808c2ae00000000000000000000000000000000000000000 3%, docker-5ce105a0628800000000000000000000000000000000000000000 3%; for at most 30min
[   5.150] gone by itself on docker-58fa7bde937e00000000000000000000000000000000000000000 after 3650ms (everything-else)
[   9.150] gone by itself on 29 cgroups under /system.slice after 7650ms (everything-else)
[  19.150] incident over after 17.8s: nobody is harmed, nothing is squeezed
279 events over 19.9 s: the same 86 actions
