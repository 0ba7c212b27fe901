/* What probing cannot do without: a connection, a request, the whole answer, the end; epoll, nothing else.
 *
 *     cc -O2 probe_limit.c -o probe_limit && ./probe_limit PROBES AT_ONCE PORT...
 *
 * Prints the probes that got a 200 and the CPU seconds that all took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1024, CHUNK = 65536 };
static struct { int fd, sent, first; } probes[MOST];
static char buffer[CHUNK];
static int poll_fd, ports, good;
static char **port;

static void begin(int place, int number) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port[number % ports]))};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)) { perror("connect"); exit(1); }
  probes[place].fd = fd;
  probes[place].sent = 0;
  probes[place].first = 1;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = place};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Go on with a probe; return whether it is over. */
static int step(int place, unsigned events) {
  char request[128];
  int fd = probes[place].fd;
  if (!probes[place].sent && (events & EPOLLOUT)) {
    int length = snprintf(request, sizeof request,
                          "GET /%d HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nConnection: close\r\n\r\n", place);
    if (send(fd, request, length, MSG_NOSIGNAL) != length) return close(fd), 1;
    probes[place].sent = 1;
  }
  while (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t got = recv(fd, buffer, CHUNK, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got > 12 && probes[place].first) good += !memcmp(buffer + 9, "200", 3);
    probes[place].first = 0;
    if (got <= 0) return close(fd), 1;
  }
  return 0;
}

int main(int count, char **words) {
  if (count < 4) return 2;
  int left = atoi(words[1]), at_once = atoi(words[2]), begun = 0, under_way = 0;
  struct epoll_event events[MOST];
  port = words + 3;
  ports = count - 3;
  poll_fd = epoll_create1(0);
  if (at_once > MOST) at_once = MOST;
  for (; begun < at_once && begun < left; begun++, under_way++) begin(begun, begun);
  while (under_way) {
    int ready = epoll_wait(poll_fd, events, MOST, -1);
    for (int i = 0; i < ready; i++)
      if (step(events[i].data.u32, events[i].events)) {
        if (begun < left) begin(events[i].data.u32, begun++);
        else under_way--;
      }
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  printf("%d %.6f\n", good,
         used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
  return 0;
}
