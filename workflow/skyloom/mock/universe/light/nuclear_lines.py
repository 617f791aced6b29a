"""Emission lines of active nuclei as published composites have them; active.py puts them into spectra.

Wavelengths in Angstrom, vacuum.
"""

# Name: centre (Angstrom, where the composite has it), equivalent width (Angstrom) above the composite's continuum,
# width relative to agn_width, slope of the equivalent width with luminosity. N V, which the composite blends into
# Ly-alpha, has the share that Dietrich et al. 2002 find. Mg II and C III] are a fifth stronger than there: measured
# above the Fe II around them they come out as the composite's.
BROAD = {
    "Ly-beta + O VI": (1033.0, 9.8, 1.2, -0.15),
    "Ly-alpha": (1216.25, 75.0, 1.0, -0.11),
    "N V": (1240.1, 18.0, 1.1, 0.0),
    "O I": (1305.4, 1.7, 1.0, -0.05),
    "C II": (1335.6, 0.7, 1.0, -0.05),
    "Si IV + O IV]": (1398.3, 8.1, 1.3, -0.08),
    "C IV": (1546.15, 23.8, 1.15, -0.14),
    "He II 1640": (1637.8, 4.0, 1.4, -0.20),
    "O III] 1665": (1664.7, 1.5, 1.0, -0.10),
    "N III]": (1746.8, 0.5, 1.0, -0.05),
    "Al III": (1856.8, 2.5, 1.2, 0.0),
    "Si III]": (1887.2, 3.0, 1.0, 0.0),
    "C III]": (1907.3, 18.5, 1.2, -0.09),
    "Mg II": (2800.3, 40.0, 0.95, -0.09),
    "H-epsilon": (3971.2, 2.0, 1.0, 0.0),
    "H-delta": (4102.7, 5.1, 1.0, 0.0),
    "H-gamma": (4344.4, 12.6, 1.0, 0.0),
    "He II 4686": (4687.0, 1.5, 1.2, -0.2),
    "H-beta": (4858.0, 46.2, 1.0, 0.0),
    "He I 5877": (5876.8, 4.9, 1.1, 0.0),
    "H-alpha": (6564.9, 194.5, 0.92, 0.0),
    "He I 10833": (10833.2, 36.0, 1.0, 0.0),
    "Pa-gamma": (10941.1, 12.0, 0.9, 0.0),
    "Pa-beta": (12821.6, 30.0, 0.9, 0.0),
    "Pa-alpha": (18756.1, 40.0, 0.9, 0.0),
}
# Fe II as (centre, relative flux, own sigma in Angstrom), an approximation by eye: in the ultraviolet the humps of the
# templates of Vestergaard & Wilkes 2001 (ApJS 134, 1) and Tsuzuki et al. 2006 (ApJ 650, 57), blends taken as one; in
# the optical multiplets 27, 28, 37, 38, 42, 48, 49 and 55 about as strong as in I Zw 1 (Boroson & Green 1992).
FE_UV = (
    (1785, 0.02, 12), (2075, 0.09, 22), (2170, 0.05, 40), (2250, 0.07, 35), (2330, 0.10, 28), (2385, 0.13, 22),
    (2430, 0.07, 25), (2480, 0.15, 28), (2525, 0.13, 25), (2575, 0.13, 25), (2615, 0.11, 17), (2665, 0.06, 25),
    (2715, 0.06, 18), (2748, 0.11, 15), (2840, 0.04, 30), (2885, 0.08, 28), (2945, 0.10, 30), (2985, 0.06, 30),
    (3100, 0.04, 50), (3200, 0.09, 45), (3290, 0.04, 40), (3420, 0.02, 60),
)  # fmt: skip
FE_OPTICAL = (
    (4130.6, 0.12, 6), (4174.6, 0.25, 3), (4180.0, 0.25, 3), (4234.4, 0.50, 3), (4259.4, 0.12, 3), (4297.8, 0.30, 4),
    (4352.9, 0.40, 3), (4386.6, 0.20, 4), (4417.5, 0.30, 4), (4490.6, 0.22, 3), (4509.5, 0.32, 3), (4516.6, 0.34, 3),
    (4523.9, 0.42, 3), (4550.6, 0.50, 3), (4557.2, 0.30, 3), (4577.6, 0.10, 3), (4585.1, 0.65, 3), (4621.8, 0.15, 3),
    (4630.6, 0.45, 3), (4668.1, 0.15, 4), (4732.8, 0.10, 4), (4925.3, 0.65, 3), (5019.8, 0.80, 3), (5101.0, 0.15, 8),
    (5170.5, 0.95, 3), (5199.0, 0.50, 3), (5236.1, 0.55, 3), (5266.3, 0.35, 3), (5277.5, 0.80, 3), (5285.6, 0.25, 3),
    (5318.1, 0.95, 3), (5338.0, 0.22, 4), (5364.4, 0.55, 3), (5416.0, 0.25, 5), (5427.3, 0.20, 4), (5536.4, 0.35, 4),
    (6149.0, 0.15, 3), (6240.0, 0.18, 4), (6248.9, 0.18, 4), (6418.0, 0.12, 4), (6458.2, 0.18, 4), (6518.0, 0.12, 4),
)  # fmt: skip

# Narrow lines by their names in the SSP grid: log10 of the flux over [O III] 5008 in a LINER and in a Seyfert galaxy.
# Optical: H-beta sets the ordinate of the BPT plane (0.35 and 1.0), H-alpha = 3.3 H-beta as seen through some dust.
# Ultraviolet: radio galaxies and type 2 quasars, relative to He II 1640 (McCarthy 1993, ARA&A 31, 639).
NARROW = {
    "H  1  1215.67A": (-0.10, 0.05),
    "He 2  1640.41A": (-1.30, -0.95),
    "C  3  1906.68A": (-1.15, -1.10),
    "C  3  1908.73A": (-1.25, -1.20),
    "Mg 2  2795.53A": (-0.90, -1.40),
    "Mg 2  2802.71A": (-1.10, -1.60),
    "O  2  3726.03A": (-0.05, -0.85),
    "O  2  3728.81A": (0.05, -0.80),
    "Ne 3  3868.76A": (-0.85, -1.05),
    "Ne 3  3967.47A": (-1.37, -1.57),
    "H  1  4101.73A": (-0.95, -1.60),
    "H  1  4340.46A": (-0.70, -1.35),
    "O  3  4363.21A": (-1.80, -1.80),
    "He 2  4685.68A": (-1.60, -1.60),
    "H  1  4861.32A": (-0.35, -1.00),
    "O  3  4958.91A": (-0.474, -0.474),
    "O  3  5006.84A": (0.0, 0.0),
    "N  1  5200.26A": (-1.00, -2.00),
    "Blnd  5875.66A": (-1.20, -1.90),
    "O  1  6300.30A": (-0.36, -1.46),
    "O  1  6363.78A": (-0.86, -1.96),
    "N  2  6548.05A": (-0.28, -1.00),
    "H  1  6562.80A": (0.17, -0.48),
    "N  2  6583.45A": (0.20, -0.52),
    "S  2  6716.44A": (-0.07, -1.06),
    "S  2  6730.82A": (-0.16, -1.10),
    "Ar 3  7135.79A": (-1.60, -1.70),
    "S  3  9068.62A": (-1.20, -1.15),
    "S  3  9530.62A": (-0.80, -0.75),
}  # fmt: skip
METAL_LINES = ("N  2", "S  2", "O  1", "N  1")  # follow the nucleus' line strength: the scatter across the BPT branch
# lines of nuclei alone, which HII regions do not have: wavelength in vacuum, and the ratios as above
HARD = {
    "N  5  1240.15A": (1240.15, -2.0, -1.20),
    "C  4  1549.48A": (1549.48, -1.5, -0.78),
    "Ne 5  3426.85A": (3426.85, -2.3, -1.15),
    "Fe 7  6088.70A": (6088.70, -3.0, -2.10),
}
