/* Molecular dynamics of a Lennard-Jones mixture in a cubic cell, fast enough for hours of motion.

   Atoms are sorted by species, so that the inner loops know their parameters and use the vector unit.
   Pairs are cut off by a shifted force: energy and force go to zero at the cutoff. Units: A, eV, u, fs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ACCELERATION 9.648533212e-3 /* eV / (A u) in A / fs^2 */

typedef struct {
    int n_species;
    const int *first;         /* (n_species + 1) index of the first atom of each species */
    const double *epsilon;    /* (n_species, n_species) eV */
    const double *sigma;      /* A */
    const double *cutoff;     /* A */
} mixture;

/* Forces (3, n) on positions (3, n); returns the energy, gives the virial sum of r.F over pairs. */
static double pair_forces(int n, double edge, const mixture *of, const double *at, double *force,
                          double *virial)
{
    const double *x = at, *y = at + n, *z = at + 2 * n;
    double twice_energy = 0, twice_virial = 0, inverse = 1.0 / edge;
    for (int a = 0; a < of->n_species; a++)
        for (int i = of->first[a]; i < of->first[a + 1]; i++) {
            double fx = 0, fy = 0, fz = 0;
            for (int b = 0; b < of->n_species; b++) {
                int ab = a * of->n_species + b;
                double s2 = of->sigma[ab] * of->sigma[ab], rc = of->cutoff[ab], e = of->epsilon[ab];
                double c6 = pow(s2 / (rc * rc), 3), at_cut = 24 * e * (2 * c6 * c6 - c6) / rc;
                double e_cut = 4 * e * (c6 * c6 - c6), rc2 = rc * rc;
                for (int j = of->first[b]; j < of->first[b + 1]; j++) {
                    double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
                    dx -= edge * rint(dx * inverse);
                    dy -= edge * rint(dy * inverse);
                    dz -= edge * rint(dz * inverse);
                    double r2 = dx * dx + dy * dy + dz * dz;
                    double within = (r2 < rc2 && r2 > 1e-12) ? 1.0 : 0.0;
                    double safe = within > 0 ? r2 : rc2, r = sqrt(safe);
                    double q = s2 / safe, q6 = q * q * q;
                    double over_r = within * (24 * e * (2 * q6 * q6 - q6) / r - at_cut) / r;
                    twice_energy += within * (4 * e * (q6 * q6 - q6) - e_cut + (r - rc) * at_cut);
                    twice_virial += over_r * r2;
                    fx += over_r * dx;
                    fy += over_r * dy;
                    fz += over_r * dz;
                }
            }
            force[i] = fx;
            force[n + i] = fy;
            force[2 * n + i] = fz;
        }
    *virial = 0.5 * twice_virial;
    return 0.5 * twice_energy;
}

double energy_and_forces(int n, double edge, int n_species, const int *first, const double *epsilon,
                         const double *sigma, const double *cutoff, const double *at, double *force,
                         double *virial)
{
    mixture of = {n_species, first, epsilon, sigma, cutoff};
    return pair_forces(n, edge, &of, at, force, virial);
}

/* Velocity Verlet and stochastic rescaling of all velocities (Bussi, Donadio, Parrinello 2007).
   normal and chi2 (of 3n - 4 degrees of freedom): one of each for each step; tau <= 0: constant energy.
   Frame 0 is the start. Gives the smallest number of frames that fit. */
void run(int n, double edge, int n_species, const int *first, const double *epsilon, const double *sigma,
         const double *cutoff, const double *mass, double *at, double *velocity, double kT, double step_fs,
         double tau_fs, long n_steps, long every, const double *normal, const double *chi2, float *frames,
         double *energies, double *kinetic, double *virials)
{
    mixture of = {n_species, first, epsilon, sigma, cutoff};
    double *force = malloc(3 * sizeof(double) * n), virial, freedom = 3.0 * n - 3.0;
    double energy = pair_forces(n, edge, &of, at, force, &virial);
    double keep = tau_fs > 0 ? exp(-step_fs / tau_fs) : 1.0;
    for (long step = 0;; step++) {
        double twice = 0;
        for (int k = 0; k < 3 * n; k++) twice += mass[k % n] * velocity[k] * velocity[k] / ACCELERATION;
        if (step % every == 0) {
            long frame = step / every;
            if (frames)
                for (int i = 0; i < n; i++)
                    for (int k = 0; k < 3; k++) frames[(frame * n + i) * 3 + k] = (float)at[k * n + i];
            energies[frame] = energy;
            kinetic[frame] = 0.5 * twice;
            virials[frame] = virial;
        }
        if (step == n_steps) break;
        if (tau_fs > 0) {
            double share = kT / twice * (1 - keep), g = normal[step];
            double factor = sqrt(keep + share * (g * g + chi2[step]) + 2 * g * sqrt(keep * share));
            for (int k = 0; k < 3 * n; k++) velocity[k] *= factor;
        }
        for (int k = 0; k < 3 * n; k++) {
            velocity[k] += 0.5 * step_fs * ACCELERATION * force[k] / mass[k % n];
            at[k] += step_fs * velocity[k];
        }
        energy = pair_forces(n, edge, &of, at, force, &virial);
        for (int k = 0; k < 3 * n; k++) velocity[k] += 0.5 * step_fs * ACCELERATION * force[k] / mass[k % n];
    }
    free(force);
}
