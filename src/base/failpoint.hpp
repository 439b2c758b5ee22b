#pragma once
// Points where tests make a phase fail.
//
// They do nothing, whatever the environment says, unless the build has the CMake option MUSTER_FAILPOINTS: it links
// failpoint/armed.cpp instead of failpoint/none.cpp. No other object differs. What is installed has none in any build.
//
// A point has a name ("save.write"). It is armed in the process (arm) or by the environment of the process that
// starts: MUSTER_FAILPOINT="save.write:throw", with the actions
//   throw       an Error{io} "fault injected at save.write"
//   kill        SIGKILL to this process
//   stop        SIGSTOP to this process
//   pause       a sleep of 20 ms, which leaves the processor to others
//   long_pause  a sleep of 200 ms
// In the environment "name@rank:action" confines it to one rank of MPI_COMM_WORLD (as the launcher's environment
// tells), and several are separated by ','. A point fires every time it is passed until disarmed.

#include <string>

namespace muster::failpoint {

bool compiled_in();
void arm(const std::string& point, const std::string& action);
void disarm_all();
void pass(const char* point);
// For what a test pretends instead of making it fail, whatever the action.
bool is_armed(const char* point);

}  // namespace muster::failpoint
