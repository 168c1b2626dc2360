# What the tests' Request Tracker has in it, beside RT's own initial data: rt-setup-database --action insert.
# A centre's set-up needs the queue, the custom fields, the relay's user and its rights from here; deploy/helpdesk.md.
@Queues = ({ Name => 'Gold', Description => 'Gold customers', CorrespondAddress => 'gold@relay.example', SLADisabled => 0 });
@Users = (
  { Name => 'relay-bot', RealName => 'Failover relay', EmailAddress => 'bot@relay.example', Privileged => 1 },
  { Name => 'dana', RealName => 'Dana', EmailAddress => 'dana@relay.example', Privileged => 1 },
  { Name => 'erin', RealName => 'Erin', EmailAddress => 'erin@relay.example', Privileged => 1 },
  { Name => 'carol', RealName => 'Carol of Acme', EmailAddress => 'carol@acme.example', Privileged => 0 },
);
@CustomFields = (
  map { { Name => $_, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', Queue => 'Gold', MaxValues => 1 } }
    qw(RelayIncident Customer)
);
my @bot = qw(SeeQueue ShowTicket ShowTicketComments CreateTicket CommentOnTicket ModifyTicket SeeCustomField ModifyCustomField);
my @engineer = (@bot, qw(ReplyToTicket OwnTicket TakeTicket StealTicket ReassignTicket));
@ACL = (
  (map { { UserId => 'relay-bot', Right => $_, Queue => 'Gold' } } @bot),
  (map { my $user = $_; map { { UserId => $user, Right => $_, Queue => 'Gold' } } @engineer } qw(dana erin)),
  (map { { GroupDomain => 'SystemInternal', GroupType => 'Everyone', Right => $_, Queue => 'Gold' } }
    qw(CreateTicket SeeQueue)),
  (map { { GroupDomain => 'RT::System-Role', GroupType => 'Requestor', Right => $_ } } qw(ReplyToTicket ShowTicket)),
);
@Final = (sub {
  for my $name (qw(relay-bot dana erin carol)) {
    my $user = RT::User->new(RT->SystemUser);
    $user->Load($name);
    my $token = RT::AuthToken->new(RT->SystemUser);
    my ($ok, $message, $secret) = $token->Create(Owner => $user->Id, Description => 'tests');
    print "TOKEN $name $secret\n";
  }
});
1;
