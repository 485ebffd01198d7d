/* A program that loads libvirt, as snapward must, and does nothing: the least that any start costs. */

#include <libvirt/libvirt.h>

int main(int argc, char **argv)
{
    (void)argv;
    /* Never true here; a reference to libvirt that the linker cannot drop. */
    return argc > 1000 ? virInitialize() : 0;
}
