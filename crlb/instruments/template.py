"""The text that `crlb instrument new` writes: a description that works, every key explained."""

import math

TEMPLATE = """\
# A spectrograph for crlb: crlb COMMAND --instrument THIS_FILE. Wavelengths in Å.
name: My spectrograph            # in words, for titles
source: design report, 2026      # where the facts come from

# AB magnitudes are means of f_nu over the pixels between these two wavelengths; leave it out for SDSS i,
# as far as there are pixels.
magnitude: [8460, 8700]

arms:
  - name: red
    # Pixels, one of:
    #   {{start: 8450, end: 8720, step: 0.25}}        equal ones, outer edges of the first and the last
    #   {{start: 8450, end: 8720, per_fwhm: 3}}       of the size of a line-spread width / 3
    #   {{centres: [8450.1, 8450.4, 8450.7]}}         a list of their centres
    #   {{file: pixels.csv}}                          a table beside this file, column wave: their centres
    # and medium: air, where the wavelengths are not those in vacuum.
    pixels: {{start: 8450, end: 8720, step: 0.4}}
    # Line-spread function, a Gaussian; one of:
    #   resolving_power: 7000                        wavelength / full width at half maximum (FWHM)
    #   fwhm: 1.2                                    FWHM in Å
    #   resolving_power: {{wave: [8450, 8720], resolving_power: [6800, 7200]}}     a curve; fwhm likewise
    #   fwhm: {{file: widths.csv}}                    columns wave and fwhm (or resolving_power)
    resolving_power: 7000

# Noise of all arms (or, as a key of an arm, of that arm); one of:
#   none                                             only signal-to-noise ratios can be asked for (--snr)
#   {{snr: 30, per: pixel, mag: 20, exptime_s: 3600, n_exp: 1, background: 0.5}}
#       one ratio for every pixel (or per: element, a line-spread FWHM) of an AB magnitude in these exposures;
#       background: the share of the variance at that magnitude that is not the star's own photons (sky, dark
#       current, read noise), 0 to below 1, which decides how the ratio changes with magnitude
#   tables: what an exposure-time calculator gives, below: S/N per pixel against wavelength (columns wave and
#       snr, or wave and error: 1 sigma relative to the flux) of a source of constant f_nu at one magnitude
#       with its background, or at two magnitudes in the same exposures, which tell the background
#   {{curves: electrons.csv, exptime_s: 900, stray_e: 4, dark_var: 0.45, read_var: 80, sky_floor: 0.01}}
#       columns wave, signal_e (electrons per pixel and exposure of an AB 18 source of constant f_nu), sky_e
#       (of the sky); stray light (electrons), variances of dark current and read noise (electrons^2) per
#       pixel; sky_floor: share of the sky that is left over and never averages out
noise:
  tables:
    - {{file: {table}, mag: 17, exptime_s: 3600, n_exp: 1, background: 0.2}}
"""


def template(table: str) -> str:
    """Returns the description, with the name of the table of signal-to-noise ratios beside it."""
    return TEMPLATE.format(table=table)


def table_text() -> str:
    """Returns the table that the description names: made up, a throughput that falls to the red."""
    rows = [f"{wave},{40 * math.sqrt(1 - (wave - 8450) / 1000):.2f}" for wave in range(8440, 8731, 10)]
    return "\n".join(["wave,snr", *rows]) + "\n"
