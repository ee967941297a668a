// What the kernel passed to the program, and what became of it. Imported by the executable alone.
#pragma once

// One of the arguments, the program's name first; NULL beyond their end.
const char *given_argument(int index);

// One of the variables of the environment, as NAME=VALUE; NULL beyond their end.
const char *given_variable(int index);

// The same of the environment as libraries have left it.
const char *present_variable(int index);
