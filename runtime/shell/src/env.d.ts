// Values that the build puts in place of names.

/** Version of this package. */
declare const __SHELL_VERSION__: string;
