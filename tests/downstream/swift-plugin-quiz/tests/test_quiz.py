"""Quiz keeps the data set contract, Brief the reward contract."""

from swift_testing import DatasetContract, RewardContract


class TestQuiz(DatasetContract):
    name = "quiz"
    rows = 2
    sample = "One and one? Two.\nTwo and two? Four.\n"
    mistake = "One and one? Two.\nno question here\n"


class TestBrief(RewardContract):
    name = "brief"
    better = "Two."
    worse = "That is a question which needs a long answer, and here it is, with more words than anybody asked for."
