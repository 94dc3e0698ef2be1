# Loaded into prove by test/check, so that its progress is seen while it happens.
package Unbuffered;
$| = 1;
1;
